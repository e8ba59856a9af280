//! What is asked of the reader of manifests for any input: it is read or refused, and what is read is
//! written back and read alike.
//!
//! Shared by the fuzz target and by the tests, which run it over the corpus.

use std::path::Path;

use etcd_adapter::backup::{Changes, Manifest};

const PATH: &str = "/backups/etcd-a-20260101T000000Z.db.json";

/// Reads `data`; the error's code, or "read".
pub(crate) fn judge(data: &[u8]) -> &'static str {
    let manifest = match Manifest::parse(Path::new(PATH), data) {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(!error.code().is_empty() && !error.hint().is_empty());
            return error.code();
        }
    };
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
    "read"
}
