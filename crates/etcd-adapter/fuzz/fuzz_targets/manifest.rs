//! Any manifest is read or refused; see `manifest.rs` above. `make fuzz` runs it.
#![no_main]

#[path = "../manifest.rs"]
mod manifest;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    manifest::judge(data);
});
