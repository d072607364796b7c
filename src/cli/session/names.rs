//! Names of sessions, between one command and the next: a file a name in
//! `<state>/session-names/SERVICE/WHO/`, with the session's id in it. A name is put into place
//! whole, so that commands may run side by side.

use super::super::error::Failure;
use crate::{
    host::{files, paths::Places},
    model::ids::SessionId,
    session_api::client::Sessions,
    session_api::endpoints::segment,
};
use anyhow::{Context as _, anyhow};
use percent_encoding::percent_decode_str;
use std::{collections::BTreeMap, io, path::PathBuf};

/// The names of one login at one service.
#[derive(Debug)]
pub(crate) struct Names {
    dir: PathBuf,
    read: BTreeMap<String, SessionId>,
}

impl Names {
    /// Reads them. What can't be read is no name of ours.
    pub(crate) fn read(places: &Places, service: &str, who: &str) -> Result<Self, Failure> {
        let part = |text: &str| segment(text).map_err(|_| anyhow!("{text:?} can't be part of a path"));
        let dir = places.session_names().join(part(service)?).join(part(who)?);
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Names { dir, read: BTreeMap::new() }),
            entries => entries.with_context(|| format!("can't read the names of sessions in {}", dir.display()))?,
        };
        let read = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let file = entry.file_name();
            let name = percent_decode_str(file.to_str()?).decode_utf8().ok()?.into_owned();
            let id = files::read_text(&entry.path(), 1024).ok()?;
            Some((name, SessionId::new(id.trim()).ok()?))
        });
        Ok(Names { read: read.collect(), dir })
    }

    pub(crate) fn give_to(&self, sessions: &Sessions) {
        for (name, id) in &self.read {
            sessions.keep(name, id.clone());
        }
    }

    /// Writes what has changed since. A session that goes by its own id has no name.
    pub(crate) fn keep(&self, sessions: &Sessions) -> Result<(), Failure> {
        let mut now = sessions.names();
        now.retain(|name, id| name != id.as_str());
        for (name, id) in &now {
            if self.read.get(name) != Some(id) {
                self.write(name, id)?;
            }
        }
        for name in self.read.keys().filter(|name| !now.contains_key(*name)) {
            match std::fs::remove_file(self.file(name)?) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, id: &SessionId) -> Result<(), Failure> {
        use std::os::unix::fs::DirBuilderExt as _;
        let place = || format!("can't keep the name {name:?} in {}", self.dir.display());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).with_context(place)?;
        files::write(&self.file(name)?, id.as_str().as_bytes(), 0o600).with_context(place)?;
        Ok(())
    }

    fn file(&self, name: &str) -> Result<PathBuf, Failure> {
        Ok(self.dir.join(segment(name).map_err(|_| anyhow!("{name:?} can't be the name of a session"))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        session_api::client::ClientSettings,
        session_api::{Credentials, Secret},
    };

    fn sessions() -> Sessions {
        let nobody = Credentials::Token(Secret::Text(String::new().into()));
        Sessions::new(ClientSettings::new("http://127.0.0.1:1".parse().unwrap(), nobody)).unwrap()
    }

    #[test]
    fn names_outlive_the_command_and_belong_to_one_login() {
        let dir = tempfile::tempdir().unwrap();
        let env = |key: &str| (key == "GAMESIDE_RUNTIME_DIR").then(|| dir.path().join("r").display().to_string());
        let places = Places::find(Some(dir.path()), rustix::process::geteuid().as_raw(), env).unwrap();
        let read = |who: &str| Names::read(&places, "http://a:1/", who).unwrap_or_else(|error| panic!("{error}"));
        let id = |text: &str| SessionId::new(text).unwrap();

        let first = sessions();
        first.keep("my match/ü", id("s1"));
        first.keep("other", id("s2"));
        first.keep("s3", id("s3"));
        read("ada").keep(&first).unwrap_or_else(|error| panic!("{error}"));

        let second = sessions();
        read("ada").give_to(&second);
        let expected = BTreeMap::from([("my match/ü".to_owned(), id("s1")), ("other".to_owned(), id("s2"))]);
        assert_eq!(second.names(), expected, "an id is no name");
        let names = read("ada");
        second.forget("other");
        names.keep(&second).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read("ada").read.len(), 1);
        assert_eq!(read("bob").read.len(), 0);
    }
}
