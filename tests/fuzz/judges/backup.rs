//! What lies beside backups: the manifest, and the record of the highest revision.

use std::path::Path;

use etcd_adapter::backup::{Changes, DocumentError, Manifest, REVISION_FILE, Recorded};

use super::GOOD;

const PATH: &str = "/backups/etcd-a-20260101T000000Z.db.json";

fn code(error: &DocumentError) -> &'static str {
    assert!(!error.hint().is_empty());
    let said = error.to_string();
    assert!(said.len() < 8 << 10, "{} bytes: {said:.80}", said.len());
    error.code()
}

pub(super) fn manifest(data: &[u8]) -> &'static str {
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
            GOOD
        }
        Err(error) => code(&error),
    }
}

pub(super) fn revision(data: &[u8]) -> &'static str {
    let path = Path::new("/backups").join(REVISION_FILE);
    match Recorded::parse(&path, data) {
        Ok(recorded) => {
            let highest = recorded.highest().map(|seen| seen.revision);
            assert!(highest.is_none_or(|revision| revision >= 0));
            let bytes = serde_json::to_vec_pretty(&recorded).expect("JSON");
            if let Ok(again) = Recorded::parse(&path, &bytes) {
                assert_eq!(again, recorded);
            } else {
                assert!(bytes.len() > data.len());
            }
            GOOD
        }
        Err(error) => code(&error),
    }
}
