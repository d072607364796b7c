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
    time::SystemTime,
};
use tokio_rustls::TlsAcceptor;

/// The two files, and what was last read from them.
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    /// And when the certificate expires, in seconds since 1970.
    current: RwLock<(Arc<ServerConfig>, Option<i64>)>,
    /// When each of them had changed as they were read.
    seen: RwLock<(Option<SystemTime>, Option<SystemTime>)>,
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
        let seen = RwLock::new((changed(cert), changed(key)));
        let current = RwLock::new(read(cert, key)?);
        Ok(Tls { cert: cert.to_owned(), key: key.to_owned(), current, seen })
    }

    /// Reads them again; connections made from now on get the new certificate.
    pub fn reload(&self) -> Result<(), BadTls> {
        // Also where they can't be used: that is said once, and not every minute.
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = (changed(&self.cert), changed(&self.key));
        let fresh = read(&self.cert, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// When the certificate in force expires, in seconds since 1970, as far as it can be read.
    pub fn expires(&self) -> Option<i64> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Reads both files again if one of them has changed since they were read last; whether that was so.
    pub fn reload_if_changed(&self) -> Result<bool, BadTls> {
        let (cert, key) = (changed(&self.cert), changed(&self.key));
        if *self.seen.read().unwrap_or_else(PoisonError::into_inner) == (cert, key) {
            return Ok(false);
        }
        self.reload()?;
        Ok(true)
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}

fn changed(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|file| file.modified()).ok()
}

fn read(cert: &Path, key: &Path) -> Result<(Arc<ServerConfig>, Option<i64>), BadTls> {
    let chain = chain(cert)?;
    let expires = chain.first().and_then(|cert| not_after(cert));
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
    Ok((Arc::new(config), expires))
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

/// The end of a certificate's validity (RFC 5280, 4.1): `Certificate { tbs { [version], serial, signature, issuer,
/// validity { notBefore, notAfter }, … } }`.
fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_, certificate, _) = der(certificate)?;
    let (_, mut rest, _) = der(certificate)?;
    if *rest.first()? == DER_VERSION {
        rest = der(rest)?.2;
    }
    for _ in ["serial", "signature", "issuer"] {
        rest = der(rest)?.2;
    }
    let (_, validity, _) = der(rest)?;
    let (_, _, after) = der(validity)?;
    let (kind, time, _) = der(after)?;
    let text = std::str::from_utf8(time).ok()?;
    // Two digits of the year are of 1950 to 2049.
    let text = match kind {
        DER_UTC_TIME if text < "50" => format!("20{text}"),
        DER_UTC_TIME => format!("19{text}"),
        _ => text.to_owned(),
    };
    let time = chrono::NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?;
    Some(time.and_utc().timestamp())
}

const DER_VERSION: u8 = 0xa0;
const DER_UTC_TIME: u8 = 0x17;

/// The first value of some DER: its tag, its content, and what follows it.
fn der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length, rest) = (*bytes.first()?, *bytes.get(1)?, bytes.get(2..)?);
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Without the file's content, which may be a key.
fn plain(why: &pem::Error) -> String {
    match why {
        pem::Error::Io(why) => why.to_string(),
        _ => "it is no well-formed PEM".to_owned(),
    }
}

/// Certificates for tests.
#[cfg(test)]
pub(crate) mod certificates {
    /// Valid until 2036, which is written as UTCTime.
    pub(crate) const FIRST: &str = "-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUQfeMnQTjHTbYpQmGdadHj7roUZYwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFZmlyc3QwHhcNMjYxMTI4MTIzODIwWhcNMzYxMTI1MTIzODIw
WjAQMQ4wDAYDVQQDDAVmaXJzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABLFX
wr0mi+rkii8NbR1LfqDl5NEWxIUm2eHpSF+IhDOCYKKZePXDKRtka2tlC2nilEeD
J7ScBja0PW0ZhduIrmWjUzBRMB0GA1UdDgQWBBTiJOZ3FzxSNISCg9isFrkeHjBC
gTAfBgNVHSMEGDAWgBTiJOZ3FzxSNISCg9isFrkeHjBCgTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQDTEkaiKxhv1xh3QpEU2uCo4PXTqdmD2NJs
ku0Q21zz8wIgGyRyzCOyt9MMI1DDgplrUbUjA5adpPa9LTngtbi+VJ0=
-----END CERTIFICATE-----";
    /// Valid until 2081, which is written as GeneralizedTime.
    pub(crate) const SECOND: &str = "-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIUTOVHbmYy4C4yOmb5Is3xYEZ3uTswCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGc2Vjb25kMCAXDTI2MTEyODEyMzgyMFoYDzIwODEwODMxMTIz
ODIwWjARMQ8wDQYDVQQDDAZzZWNvbmQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATmED//hXyJd0lXxHfvKqluF3/OhE1boHk/JI31ha2hZLMWw+bELi7GwTaFQy3x
2WhDT4aR4GSnKzg9k5749Qkxo1MwUTAdBgNVHQ4EFgQUfWgXUDoQZ4nhCAr6UC1o
7eYb1QAwHwYDVR0jBBgwFoAUfWgXUDoQZ4nhCAr6UC1o7eYb1QAwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA3CjYjETx71+RXm7Q3FGMyS/Gq9Fm
PrsLF/uY+MuDAGwCIEIOliEq1TZSc7qSYJqo4AWt1zl+Yc5XQWDIEbX1J4W0
-----END CERTIFICATE-----";
}

#[cfg(test)]
mod tests {
    use super::{
        certificates::{FIRST, SECOND},
        *,
    };

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_spellings_and_out_of_no_garbage() {
        for (pem, wanted) in [(FIRST, 2_111_229_500), (SECOND, 3_523_869_500)] {
            let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            assert_eq!(not_after(&certificate), Some(wanted));
            for length in 0..certificate.len() {
                not_after(&certificate[..length]);
            }
        }
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
