//! `gameside sessions server`: what an operator does to registered servers, at a running service.

use crate::{
    cli::{
        error::Failure,
        exit::Exit,
        session::{connect::Connection, failed},
    },
    host::paths::Places,
};

#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum ServerCommand {
    /// Take a server's registration away, so that another client may register its id
    ///
    /// A match that runs on it is closed. Needs a client with session:* or session:instance:release
    Release {
        /// As the server registered: sic_HOST_PORT
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
}

pub(super) fn run(command: ServerCommand, places: &Places) -> Result<(), Failure> {
    match command {
        ServerCommand::Release { id, connection } => crate::cli::block_on(async {
            let connected = connection.into_operator().connect(places).await?;
            if !connected.sessions.release_server(&id).await.map_err(failed)? {
                return Err(Failure::new(Exit::Failed, format!("no server {id:?} is registered")));
            }
            say!("released {id}");
            Ok(())
        }),
    }
}
