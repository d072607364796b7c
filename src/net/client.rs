//! Requests to a server on this machine: HTTP/1.1, a connection each, or one that is kept.

use super::stream::Stream;
use crate::host::socket;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret as _, SecretString};
use std::{fmt, io, net::SocketAddr, path::PathBuf};
use tokio::net::{TcpStream, UnixStream};

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    /// A path of any length.
    Unix(PathBuf),
}

/// Whose server it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrustedServers {
    Anybody,
    /// On a unix socket: a process of this user's, or of root's; to root, anybody's.
    SameUserOrRoot,
}

/// A way to one server. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: Address,
    token: Option<SecretString>,
    servers: TrustedServers,
}

/// A connection that is open from one request to the next. It lives in the runtime that opened it.
#[derive(Debug)]
pub(crate) struct KeptConnection(SendRequest<Full<Bytes>>);

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub method: Method,
    /// With its query.
    pub path: &'a str,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON; none: no body.
    pub body: Option<String>,
}

/// A request that got no answer, or none that can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("can't connect to {address}: {source}")]
    Connect { address: Address, source: io::Error },
    #[error("{address} is served by uid {uid}, who is neither this user nor root; nothing was sent")]
    Stranger { address: Address, uid: u32 },
    #[error("the request to {address} can't be sent: {source}")]
    Request { address: Address, source: http::Error },
    #[error("the exchange with {address} broke off: {source}")]
    BrokenOff { address: Address, source: hyper::Error },
    #[error("the answer of {address} can't be read: {why}")]
    Answer { address: Address, why: Box<dyn std::error::Error + Send + Sync> },
}

impl ClientError {
    /// Nobody takes connections there, now.
    pub(crate) fn is_not_listening(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NotFound, WouldBlock};
        let nobody = |kind| matches!(kind, NotFound | ConnectionRefused | WouldBlock);
        matches!(self, ClientError::Connect { source, .. } if nobody(source.kind()))
    }
    /// This user may not connect there.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, ClientError::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        Call { method, path, headers: Vec::new(), body: None }
    }
    /// With a JSON body.
    pub(crate) fn json(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }
}

impl Client {
    pub(crate) fn new(address: Address, token: Option<SecretString>, servers: TrustedServers) -> Self {
        Client { address, token, servers }
    }

    /// Sends a request; the answer's body is still to come.
    pub(crate) async fn open(&self, call: Call<'_>) -> Result<Response<Incoming>, ClientError> {
        let broken = |source| ClientError::BrokenOff { address: self.address.clone(), source };
        let request = self.request(call)?;
        self.handshake().await?.send_request(request).await.map_err(broken)
    }

    /// A new connection.
    async fn handshake(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let broken = |source| ClientError::BrokenOff { address: self.address.clone(), source };
        let stream = self.connect().await?;
        // Vectored writes come without MSG_NOSIGNAL: a server that hangs up would end a command by
        // SIGPIPE.
        let (sender, connection) =
            http1::Builder::new().writev(false).handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Sends a request over `kept`, if that is still open, and reads the answer whole, at most `limit` bytes of it. Leaves what
    /// can be used again in `kept`.
    pub(crate) async fn ask(
        &self,
        kept: &mut Option<KeptConnection>,
        call: Call<'_>,
        limit: usize,
    ) -> Result<Response<Bytes>, ClientError> {
        let request = self.request(call)?;
        let mut open = None;
        if let Some(KeptConnection(mut sender)) = kept.take()
            && sender.ready().await.is_ok()
        {
            open = Some(sender);
        }
        let mut sender = match open {
            Some(sender) => sender,
            None => self.handshake().await?,
        };
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|source| ClientError::BrokenOff { address: self.address.clone(), source })?;
        let answer = self.read(answer, limit).await?;
        *kept = Some(KeptConnection(sender));
        Ok(answer)
    }

    /// The rest of an answer, at most `limit` bytes of it.
    pub(crate) async fn read(&self, answer: Response<Incoming>, limit: usize) -> Result<Response<Bytes>, ClientError> {
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, limit).collect().await;
        let body = body.map_err(|why| ClientError::Answer { address: self.address.clone(), why })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    fn request(&self, call: Call<'_>) -> Result<Request<Full<Bytes>>, ClientError> {
        let host = match &self.address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(_) => "localhost".to_owned(),
        };
        let mut request = Request::builder().method(call.method).uri(call.path).header(header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        request
            .body(Full::new(Bytes::from(call.body.unwrap_or_default())))
            .map_err(|source| ClientError::Request { address: self.address.clone(), source })
    }

    async fn connect(&self) -> Result<Stream, ClientError> {
        let failed = |source| ClientError::Connect { address: self.address.clone(), source };
        match &self.address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(failed)?;
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            Address::Unix(path) => {
                let stream = socket::connect(path).and_then(UnixStream::from_std).map_err(failed)?;
                self.check_server(&stream)?;
                Ok(Stream::Unix(stream))
            }
        }
    }

    fn check_server(&self, stream: &UnixStream) -> Result<(), ClientError> {
        let own = rustix::process::geteuid().as_raw();
        if self.servers == TrustedServers::Anybody || own == 0 {
            return Ok(());
        }
        let peer = stream.peer_cred();
        let uid = peer.map_err(|source| ClientError::Connect { address: self.address.clone(), source })?.uid();
        if uid == own || uid == 0 { Ok(()) } else { Err(ClientError::Stranger { address: self.address.clone(), uid }) }
    }
}
