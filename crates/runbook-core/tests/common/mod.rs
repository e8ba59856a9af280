//! Files that tests expect, and write anew when told to.

use std::path::Path;

/// Compares with a file beside the manifest; `UPDATE_EXPECTED=1` writes it instead.
pub fn expect(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{} is not current: run the test with UPDATE_EXPECTED=1 and look at the difference",
        path.display()
    );
}
