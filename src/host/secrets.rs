//! Where a secret lies: a file, a systemd credential, or an environment variable; the first that is
//! set. A file or credential isn't read here but at each use, so that it can be replaced while we
//! run. Never printed.

use secrecy::SecretString;
use std::path::{Path, PathBuf};

/// Where a secret is.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Its content without white space at its end.
    File(PathBuf),
    Text(SecretString),
}

/// Where to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// A file that was named.
    pub file: Option<&'a Path>,
    /// The name of a credential in `$CREDENTIALS_DIRECTORY`.
    pub credential: &'a str,
    /// An environment variable.
    pub variable: &'a str,
}

/// A secret that is nowhere.
#[derive(Debug, thiserror::Error)]
#[error("there is no secret: no file is named, no credential {credential:?} is given, and {variable} isn't set")]
pub struct NoSecret {
    credential: String,
    variable: String,
}

/// Finds it. `env` reads an environment variable.
pub(crate) fn find(wanted: Wanted<'_>, env: impl Fn(&str) -> Option<String>) -> Result<Source, NoSecret> {
    if let Some(file) = wanted.file {
        return Ok(Source::File(file.to_owned()));
    }
    if let Some(file) = credential(wanted.credential, &env).filter(|file| file.exists()) {
        return Ok(Source::File(file));
    }
    match env(wanted.variable).filter(|text| !text.is_empty()) {
        Some(text) => Ok(Source::Text(SecretString::from(text))),
        None => Err(NoSecret { credential: wanted.credential.to_owned(), variable: wanted.variable.to_owned() }),
    }
}

/// The path that systemd gives a credential; `None` without credentials, or for a name that would leave their directory.
pub(crate) fn credential(name: &str, env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let harmless = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let directory = env("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty())?;
    harmless.then(|| Path::new(&directory).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn the_file_comes_first_then_the_credential_then_the_variable() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("login"), "from systemd").unwrap();
        let env = |key: &str| match key {
            "CREDENTIALS_DIRECTORY" => Some(dir.path().to_str().unwrap().to_owned()),
            "SECRET" => Some("from the environment".to_owned()),
            _ => None,
        };
        let wanted = Wanted { file: Some(Path::new("/named")), credential: "login", variable: "SECRET" };
        assert!(matches!(find(wanted, env), Ok(Source::File(path)) if path == Path::new("/named")));
        let wanted = Wanted { file: None, ..wanted };
        assert!(matches!(find(wanted, env), Ok(Source::File(path)) if path.ends_with("login")));
        let wanted = Wanted { credential: "../login", ..wanted };
        assert!(matches!(find(wanted, env), Ok(Source::Text(text)) if text.expose_secret() == "from the environment"));
        assert!(find(Wanted { variable: "NOTHING", ..wanted }, env).is_err());
    }

    #[test]
    fn a_secret_is_not_in_its_debug_text() {
        let source = Source::Text(SecretString::from("hunter2".to_owned()));
        assert!(!format!("{source:?}").contains("hunter2"));
    }
}
