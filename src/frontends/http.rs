//! One small HTTP/1.1 server for all frontends.
