//! Debug forms of messages, without what nobody but their receiver may see.

use std::fmt;

use crate::v1::{
    Header, HttpRequest, ImportKeyRequest, RotateKeyRequest, Session, SignedHttpRequest,
    import_key_request, rotate_key_request,
};

const HIDDEN: &str = "(hidden)";

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("name", &self.name).field("value", &HIDDEN).finish()
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("path", &path)
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SignedHttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query may hold the signature.
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("SignedHttpRequest")
            .field("method", &self.method)
            .field("url", &url)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("key", &self.key)
            .field("token", &HIDDEN)
            .field("user_id", &self.user_id)
            .field("create_time", &self.create_time)
            .field("expire_time", &self.expire_time)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ImportKeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportKeyRequest")
            .field("key_id", &self.key_id)
            .field("venue", &self.venue)
            .field("environment", &self.environment)
            .field("algorithm", &self.algorithm)
            .field("fields", &self.fields)
            .field("labels", &self.labels)
            .field("request_id", &self.request_id)
            .field("material", &self.material)
            .finish()
    }
}

impl fmt::Debug for RotateKeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotateKeyRequest")
            .field("name", &self.name)
            .field("fields", &self.fields)
            .field("accept_previous_until_time", &self.accept_previous_until_time)
            .field("request_id", &self.request_id)
            .field("material", &self.material)
            .finish()
    }
}

impl fmt::Debug for import_key_request::Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext(_) => "Plaintext(hidden)",
            Self::Sealed(_) => "Sealed(hidden)",
            Self::WrappingToken(_) => "WrappingToken(hidden)",
        })
    }
}

impl fmt::Debug for rotate_key_request::Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext(_) => "Plaintext(hidden)",
            Self::Sealed(_) => "Sealed(hidden)",
            Self::WrappingToken(_) => "WrappingToken(hidden)",
            Self::Generate(_) => "Generate",
        })
    }
}
