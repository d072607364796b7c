//! TLS on TCP listeners: a certificate chain and its key from two PEM files, read again on demand.
//!
//! Invariants: what is served is always one consistent pair; a pair that can't be used leaves the
//! one before in force. TLS 1.2 and 1.3 with the cryptography of `ring`; no client certificates.
//! The key is never in an error or a `Debug` output.

use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};
use tokio_rustls::TlsAcceptor;

/// The two files, and what was last read from them.
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("cert", &self.cert).field("key", &self.key).finish_non_exhaustive()
    }
}

/// A certificate or key that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    #[error("can't read the {what} in {}: {why}", path.display())]
    Unreadable { what: &'static str, path: PathBuf, why: String },
    #[error("there is no {what} in {}: PEM is expected, a block that begins with {begin}", path.display())]
    Missing { what: &'static str, path: PathBuf, begin: &'static str },
    #[error("the certificate in {} and the key in {} can't be used together: {why}", cert.display(), key.display())]
    Pair { cert: PathBuf, key: PathBuf, why: String },
}

impl Tls {
    /// Reads both files.
    pub fn load(cert: &Path, key: &Path) -> Result<Tls, BadTls> {
        let current = RwLock::new(Arc::new(read(cert, key)?));
        Ok(Tls { cert: cert.to_owned(), key: key.to_owned(), current })
    }

    /// Reads them again; connections made from now on get the new certificate.
    pub fn reload(&self) -> Result<(), BadTls> {
        let fresh = Arc::new(read(&self.cert, &self.key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(cert: &Path, key: &Path) -> Result<ServerConfig, BadTls> {
    let chain = chain(cert)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|why| match why {
        pem::Error::NoItemsFound => {
            BadTls::Missing { what: "private key", path: key.to_owned(), begin: "-----BEGIN PRIVATE KEY-----" }
        }
        why => BadTls::Unreadable { what: "private key", path: key.to_owned(), why: plain(&why) },
    })?;
    let pair = |why: rustls::Error| BadTls::Pair { cert: cert.to_owned(), key: key.to_owned(), why: why.to_string() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn chain(cert: &Path) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let unreadable =
        |why: pem::Error| BadTls::Unreadable { what: "certificate", path: cert.to_owned(), why: plain(&why) };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(cert).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
    if chain.is_empty() {
        let begin = "-----BEGIN CERTIFICATE-----";
        return Err(BadTls::Missing { what: "certificate", path: cert.to_owned(), begin });
    }
    Ok(chain)
}

/// Without the file's content, which may be a key.
fn plain(why: &pem::Error) -> String {
    match why {
        pem::Error::Io(why) => why.to_string(),
        _ => "it is no well-formed PEM".to_owned(),
    }
}
