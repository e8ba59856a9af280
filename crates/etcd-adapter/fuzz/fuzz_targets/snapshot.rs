//! Any input gets a verdict; see `judge.rs`. `make fuzz` runs it, with the corpus and the real
//! snapshots as seeds.
#![no_main]

#[path = "../judge.rs"]
mod judge;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    judge::judge(data);
});
