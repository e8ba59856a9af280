//! Any manifest is read or refused; see `judge_manifest.rs`. `make fuzz` runs it, with the corpus as
//! seeds.
#![no_main]

#[path = "../judge_manifest.rs"]
mod judge_manifest;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    judge_manifest::judge(data);
});
