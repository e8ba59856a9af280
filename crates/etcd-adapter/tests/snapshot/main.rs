//! The proof of snapshot files: equal to etcd's own numbers on good ones, and a verdict on any other.
//!
//! The good ones are real: `fixtures/make.sh` took them from etcd 3.4.23, 3.5.1, 3.5.30 and 3.6.14, and wrote
//! what etcd says of each into `fixtures/expected.tsv`.

mod bolt;
mod damage;
mod files;
mod kit;
mod meaning;
mod memory;
mod numbers;
mod structure;
mod verdicts;
