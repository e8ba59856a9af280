//! What is asked of the parser of manifests for any text: an answer, and that what is read is written
//! back and read alike.
//!
//! Shared by the fuzz target and by the tests, which run it over the corpus.

use std::path::Path;

use etcd_adapter::backup::{Changes, Manifest};

const PATH: &str = "/backups/etcd-a-20260101T000000Z.db.json";

/// Parses `data`; whether it is a manifest.
pub(crate) fn judge(data: &[u8]) -> bool {
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
            true
        }
        Err(error) => {
            assert!(!error.code().is_empty() && !error.hint().is_empty());
            false
        }
    }
}
