//! Any manifest and any record is read or refused; what is read is written back and read alike.
//!
//! `cargo +nightly fuzz run manifest corpus/manifest`
#![no_main]

use std::path::Path;

use etcd_adapter::backup::{Changes, Manifest};
use libfuzzer_sys::fuzz_target;

const PATH: &str = "/backups/etcd-a-20260101T000000Z.db.json";

fuzz_target!(|data: &[u8]| {
    match Manifest::parse(Path::new(PATH), data) {
        Ok(manifest) => {
            assert_eq!(PATH, format!("/backups/{}.json", manifest.file));
            let bytes = manifest.to_bytes().expect("JSON");
            if let Ok(again) = Manifest::parse(Path::new(PATH), &bytes) {
                assert_eq!(again, manifest);
            } else {
                // Escapes and line feeds made it longer than a manifest may be.
                assert!(bytes.len() > data.len());
            }
            let changes = Changes::between(&manifest, &manifest);
            assert!(changes.suspicious.is_empty());
        }
        Err(error) => assert!(!error.code().is_empty() && !error.hint().is_empty()),
    }
});
