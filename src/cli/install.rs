//! `gameside install DIR`: both programs into a directory. An init container of a pod puts them so
//! where the game's container finds them, whose image then needs nothing of ours.

use super::{error::Failure, exit::Exit};
use anyhow::Context as _;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Copy `gameside` and `gameside-keeper` into a directory.
///
/// For an init container: the game's container then starts its keeper from that volume. What is there already is replaced, each
/// file whole.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to; it is made if it isn't there.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let own = std::env::current_exe().context("can't find this program's own file")?;
    let keeper = own.with_file_name("gameside-keeper");
    fs::create_dir_all(&args.dir).with_context(|| format!("can't make {}", args.dir.display()))?;
    for (from, name) in [(&own, "gameside"), (&keeper, "gameside-keeper")] {
        let to = args.dir.join(name);
        copy(from, &to).with_context(|| format!("can't copy {} to {}", from.display(), to.display()))?;
        say!("{}", to.display());
    }
    Ok(Exit::Done)
}

/// Under another name first: whoever runs the old file keeps it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let new = to.with_extension("new");
    fs::copy(from, &new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    fs::rename(&new, to)
}
