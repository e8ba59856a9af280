//! Any input gets an answer; see `judges`. `make fuzz` runs it.
#![no_main]

mod judges;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    judges::of(env!("CARGO_BIN_NAME"))(data);
});
