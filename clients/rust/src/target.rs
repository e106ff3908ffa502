//! Where servers are.

use std::path::PathBuf;

use http::uri::Authority;

use crate::ConfigurationError;

const EXPECTED: &str = "give `host:port`, such as `localhost:7443`, or `unix:/absolute/path`";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A name or an IP address (without brackets), its port, and both as they were written.
    Host { host: String, port: u16, authority: Authority },
    /// A socket file.
    Unix(PathBuf),
}

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigurationError> {
        let wrong =
            |why: &str| ConfigurationError::new("target", format!("{text:?} {why}; {EXPECTED}"));
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true if cfg!(unix) => Ok(Self::Unix(path.into())),
                true => Err(wrong("is a Unix socket, which this system does not have")),
                false => Err(wrong("is no absolute path")),
            };
        }
        if text.contains(['/', '@', '?', '#']) {
            return Err(wrong("is no host and port"));
        }
        let authority: Authority = text.parse().map_err(|_| wrong("is no host and port"))?;
        let port = authority.port_u16().ok_or_else(|| wrong("has no port"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || port == 0 {
            return Err(wrong("lacks a host or a port"));
        }
        Ok(Self::Host { host, port, authority })
    }

    /// What stands for the server in each request.
    pub(crate) fn authority(&self) -> Authority {
        match self {
            Self::Host { authority, .. } => authority.clone(),
            Self::Unix(_) => Authority::from_static("localhost"),
        }
    }

    /// Whether it never leaves this host, as far as its text tells.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Host { host, .. } => {
                host == "localhost"
                    || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Self::Unix(_) => true,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host { authority, .. } => authority.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_hosts_addresses_and_sockets() {
        for (text, local) in [
            ("localhost:7443", true),
            ("127.3.2.1:1", true),
            ("[::1]:7443", true),
            ("signer.example.com:7443", false),
            ("[2001:db8::1]:7443", false),
            ("unix:/run/privyseal/privyseal.sock", true),
        ] {
            let target = Target::parse(text).unwrap();

            assert_eq!((target.to_string().as_str(), target.is_local()), (text, local));
        }
    }

    #[test]
    fn refuses_what_is_no_target() {
        for text in [
            "",
            "localhost",
            "localhost:",
            ":7443",
            "https://localhost:7443",
            "localhost:99999",
            "user@localhost:1",
            "unix:relative",
            "unix:",
            "localhost:0",
            "::1:7443",
        ] {
            assert_eq!(Target::parse(text).unwrap_err().setting(), "target", "{text}");
        }
    }
}
