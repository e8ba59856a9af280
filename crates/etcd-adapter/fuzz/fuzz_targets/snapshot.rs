//! Any input gets a verdict; see `snapshot.rs` above. `make fuzz` runs it, with the corpus and the real
//! snapshots as seeds.
#![no_main]

#[path = "../snapshot.rs"]
mod snapshot;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    snapshot::judge(data);
});
