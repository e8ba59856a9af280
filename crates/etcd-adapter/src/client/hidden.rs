//! What an error must not repeat: a server, or whatever stands before it, may quote what it was sent.

use super::Login;

/// A text of the other side's without the password, and without what looks like a token of etcd's.
pub(super) fn without_secrets(text: &str, login: Option<&Login>) -> String {
    let mut shown = match login {
        Some(login) => without(text, &login.password),
        None => text.to_owned(),
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let words: Vec<String> = shown.split(|c| !is_part(c)).map(str::to_owned).collect();
    for token in words.iter().filter(|word| is_token(word)) {
        shown = shown.replace(token.as_str(), "(a token)");
    }
    shown
}

/// Where it stands for itself: a password may be a part of any word.
fn without(text: &str, password: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    let stands_alone = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    while let Some((before, behind)) = rest.split_once(password).filter(|_| !password.is_empty()) {
        let last = before
            .chars()
            .next_back()
            .or_else(|| shown.chars().next_back());
        let alone = stands_alone(last) && stands_alone(behind.chars().next());
        shown.push_str(before);
        shown.push_str(if alone { "(the password)" } else { password });
        rest = behind;
    }
    shown + rest
}

/// A JSON Web Token, or a simple one: 16 letters, a dot, a number (`server/auth/jwt.go`, `simple_token.go`).
fn is_token(word: &str) -> bool {
    let simple = word
        .trim_end_matches('.')
        .split_once('.')
        .is_some_and(|(letters, number)| {
            let fine = letters.len() == 16 && letters.bytes().all(|b| b.is_ascii_alphabetic());
            fine && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
        });
    simple || (word.starts_with("eyJ") && word.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_repeated() {
        let login = |password: &str| Login {
            user: "root".into(),
            password: password.into(),
        };
        for (password, text, shown) in [
            (
                "s3cret",
                "no s3cret, root:s3cret.",
                "no (the password), root:(the password).",
            ),
            ("e", "etcdserver: e", "etcdserver: (the password)"),
            ("e", "ee", "ee"),
            ("", "etcd", "etcd"),
            ("a b", "of a b c", "of (the password) c"),
            (
                "x",
                "invalid auth token: UFjSzkNdlSYzhFRc.9",
                "invalid auth token: (a token)",
            ),
            (
                "x",
                "Bearer eyJhbGciOi.eyJ1c2Vy.c2ln, no",
                "Bearer (a token), no",
            ),
            (
                "x",
                "etcd 3.4.23 at 10.141.0.1:2379 eyJ",
                "etcd 3.4.23 at 10.141.0.1:2379 eyJ",
            ),
        ] {
            assert_eq!(without_secrets(text, Some(&login(password))), shown);
        }
        assert_eq!(without_secrets("UFjSzkNdlSYzhFRc.9", None), "(a token)");
    }
}
