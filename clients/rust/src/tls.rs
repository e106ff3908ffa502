//! TLS from PEM files, which are read again for each new connection.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::ConfigurationError;

/// The PEM files that a connection is made with, and the name that the server must have.
#[derive(Clone)]
pub struct Tls {
    ca: PathBuf,
    pair: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
}

impl Tls {
    /// TLS towards a server whose certificate one of the CAs in a file signed. The caller proves
    /// who it is by a token, or by nothing.
    pub fn ca_file(ca: impl AsRef<Path>) -> Self {
        let ca = ca.as_ref().to_owned();
        Self { ca, pair: None, server_name: None }
    }

    /// mTLS: the server's CA, and the caller's certificate (with its chain) and private key.
    pub fn files(
        ca: impl AsRef<Path>,
        certificate: impl AsRef<Path>,
        private_key: impl AsRef<Path>,
    ) -> Self {
        let pair = (certificate.as_ref().to_owned(), private_key.as_ref().to_owned());
        Self { pair: Some(pair), ..Self::ca_file(ca) }
    }

    /// The name that the server's certificate must have, instead of the target's host.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca)
            .field("certificate", &self.pair.as_ref().map(|pair| &pair.0))
            .field("private_key", &self.pair.as_ref().map(|pair| &pair.1))
            .field("server_name", &self.server_name)
            .finish()
    }
}

/// What the next connection is made with.
pub(crate) struct LiveTls {
    files: Tls,
    server_name: Option<ServerName<'static>>,
    current: Mutex<Current>,
}

struct Current {
    contents: Contents,
    config: Arc<ClientConfig>,
}

impl LiveTls {
    pub(crate) fn new(files: Tls) -> Result<Self, ConfigurationError> {
        let server_name = match &files.server_name {
            Some(name) => Some(ServerName::try_from(name.clone()).map_err(|_| {
                let message = format!("{name:?} is neither a DNS name nor an IP address");
                ConfigurationError::new("tls.server_name", message)
            })?),
            None => None,
        };
        let contents = Contents::read(&files)?;
        let config = contents.config(&files)?;
        Ok(Self { files, server_name, current: Mutex::new(Current { contents, config }) })
    }

    /// Whether the name to check does not depend on the target.
    pub(crate) fn has_server_name(&self) -> bool {
        self.server_name.is_some()
    }

    /// Returns the name that the server at a host must have; nothing where that is no name.
    pub(crate) fn server_name(&self, host: &str) -> Option<ServerName<'static>> {
        self.server_name.clone().or_else(|| ServerName::try_from(host.to_owned()).ok())
    }

    /// Reads the files, and returns what they hold, or what they held when they last were right.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let fresh = Contents::read(&self.files);
        let mut current = self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Ok(contents) = fresh
            && contents != current.contents
            && let Ok(config) = contents.config(&self.files)
        {
            *current = Current { contents, config };
        }
        current.config.clone()
    }

    pub(crate) fn files(&self) -> &Tls {
        &self.files
    }
}

#[derive(PartialEq)]
struct Contents {
    ca: Vec<u8>,
    pair: Option<(Vec<u8>, Vec<u8>)>,
}

impl Contents {
    fn read(files: &Tls) -> Result<Self, ConfigurationError> {
        let ca = read("tls.ca", &files.ca)?;
        let pair = match &files.pair {
            Some((certificate, private_key)) => {
                Some((read("tls.certificate", certificate)?, read("tls.private_key", private_key)?))
            }
            None => None,
        };
        Ok(Self { ca, pair })
    }

    fn config(&self, files: &Tls) -> Result<Arc<ClientConfig>, ConfigurationError> {
        let wrong = |setting, path: &Path, why: &str| {
            ConfigurationError::new(setting, format!("{} {why}", path.display()))
        };
        let mut roots = RootCertStore::empty();
        let no_ca = || {
            let why = "holds no certificate, or one that can't be read; it must be PEM";
            wrong("tls.ca", &files.ca, why)
        };
        for certificate in certificates(&self.ca).ok_or_else(no_ca)? {
            roots.add(certificate).map_err(|_| no_ca())?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| ConfigurationError::new("tls", error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match (&self.pair, &files.pair) {
            (Some((certificate, key)), Some((certificate_file, key_file))) => {
                let chain = certificates(certificate).ok_or_else(|| {
                    let why = "holds no certificate, or one that can't be read; it must be PEM";
                    wrong("tls.certificate", certificate_file, why)
                })?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
                    let why =
                        "holds no private key that can be read; it must be PEM, not encrypted";
                    wrong("tls.private_key", key_file, why)
                })?;
                builder.with_client_auth_cert(chain, key).map_err(|_| {
                    let why = "is not the key of the certificate, or of a kind that is not known";
                    wrong("tls.private_key", key_file, why)
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Returns all certificates, if there is one and all can be read.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, ConfigurationError> {
    std::fs::read(path).map_err(|error| {
        let message = format!("{} can't be read: {error}", path.display());
        ConfigurationError::new(setting, message)
    })
}
