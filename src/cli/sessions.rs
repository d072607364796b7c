//! `gameside sessions`: runs the session service, and makes credentials for it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

/// Runs the session service.
#[derive(Debug, Clone, clap::Args)]
pub struct SessionsArgs {
    #[command(subcommand)]
    pub what: Option<SessionsCommand>,
    /// Where to listen; may be given more than once
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    pub listen: Vec<SocketAddr>,
    /// A unix socket to listen on as well
    #[arg(long, value_name = "PATH")]
    pub listen_unix: Option<PathBuf>,
    /// Where the service keeps its store, keys and credentials
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The service's configuration (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Accept any name:password as a player. For a developer's machine
    #[arg(long)]
    pub dev: bool,
    /// Be the machine's local service: loopback only, elected, with a random secret, gone when unused
    #[arg(long)]
    pub local: bool,
    /// With --local: go after nobody has used the service for this long
    #[arg(long, value_name = "SPAN", requires = "local")]
    pub idle_exit: Option<String>,
}

#[derive(Debug, Clone, clap::Subcommand)]
pub enum SessionsCommand {
    /// Client credentials
    #[command(subcommand)]
    Client(ClientCommand),
}

#[derive(Debug, Clone, clap::Subcommand)]
pub enum ClientCommand {
    /// Makes credentials and prints them once
    Add {
        name: String,
        /// What the client may do; may be given more than once. Without: what a dedicated server needs
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// Withdraws a client's credentials
    Remove { name: String },
    /// Lists the clients
    List,
}

/// Carries the subcommand out. Never returns before the service has ended.
pub fn run(_args: SessionsArgs) -> ExitCode {
    unimplemented!()
}
