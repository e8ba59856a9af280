//! A bundle of the doctor's: somebody sends one, and it is replayed, also once it is redacted.
//!
//! An input is the archive, or its three texts, which are packed first.

use std::io::Write as _;

use bright_adapter::bundle::{Bundle, BundleError};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{GOOD, parts};

pub(super) fn judge(data: &[u8]) -> &'static str {
    if data.starts_with(&[0x1f, 0x8b]) {
        return read(data);
    }
    read(&packed(data))
}

fn read(data: &[u8]) -> &'static str {
    match Bundle::unpacked(data) {
        Ok(bundle) => {
            super::doctor::replayed(bundle.clone());
            match bundle.redacted(&[]) {
                Ok(once) => {
                    assert_eq!(once.exchanges.len(), bundle.exchanges.len());
                    super::doctor::replayed(once);
                    GOOD
                }
                Err(error) => code(&error),
            }
        }
        Err(error) => code(&error),
    }
}

fn code(error: &BundleError) -> &'static str {
    let said = error.to_string();
    assert!(said.len() < 8 << 10, "{} bytes: {said:.80}", said.len());
    error.code()
}

fn packed(data: &[u8]) -> Vec<u8> {
    let names = ["bundle.json", "exchanges.jsonl", "doctor.json"];
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in names.iter().zip(parts(data)) {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        builder
            .append_data(&mut header, name, text)
            .expect("memory");
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::none());
    let plain = builder.into_inner().expect("memory");
    packer.write_all(&plain).expect("memory");
    packer.finish().expect("memory")
}
