//! The spec: YAML that a person has edited, with all that YAML can do.

use runbook_core::spec::{SPEC_LIMIT_BYTES, Spec};

use super::GOOD;

pub(super) fn judge(data: &[u8]) -> &'static str {
    let Ok(text) = std::str::from_utf8(data) else {
        return "no text";
    };
    match Spec::from_yaml(text) {
        Ok(spec) => {
            assert!(text.len() <= SPEC_LIMIT_BYTES && spec.members.len() <= 9);
            let again = spec.to_yaml().expect("a spec has a text");
            assert_eq!(Spec::from_yaml(&again).as_ref(), Ok(&spec), "{again}");
            GOOD
        }
        Err(error) => {
            assert!(!error.hint().is_empty());
            let said = error.to_string();
            assert!(said.len() < 8 << 10, "{} bytes: {said:.80}", said.len());
            error.code()
        }
    }
}
