//! Refusals of an SDK call: one type, which both the gRPC and the REST wire can answer.

use std::fmt;

/// gRPC's codes, as far as they are used here; the REST wire shows the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    ResourceExhausted,
    FailedPrecondition,
    OutOfRange,
    Unimplemented,
    Unavailable,
    DeadlineExceeded,
}

impl Code {
    /// gRPC's number.
    pub fn number(self) -> i32 {
        match self {
            Code::InvalidArgument => 3,
            Code::DeadlineExceeded => 4,
            Code::NotFound => 5,
            Code::AlreadyExists => 6,
            Code::ResourceExhausted => 8,
            Code::FailedPrecondition => 9,
            Code::OutOfRange => 11,
            Code::Unimplemented => 12,
            Code::Unavailable => 14,
        }
    }

    /// The HTTP status that a gRPC gateway gives it.
    pub fn http(self) -> http::StatusCode {
        use http::StatusCode as Http;
        match self {
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => Http::BAD_REQUEST,
            Code::NotFound => Http::NOT_FOUND,
            Code::AlreadyExists => Http::CONFLICT,
            Code::ResourceExhausted => Http::TOO_MANY_REQUESTS,
            Code::Unimplemented => Http::NOT_IMPLEMENTED,
            Code::Unavailable => Http::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => Http::GATEWAY_TIMEOUT,
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcError {
    pub code: Code,
    /// What was wrong, and what to do.
    pub message: String,
}

impl RpcError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        RpcError { code, message: message.into() }
    }
    pub fn invalid(message: impl Into<String>) -> Self {
        RpcError::new(Code::InvalidArgument, message)
    }

    /// `{"code":…,"message":…,"details":[]}`
    pub fn json(&self) -> String {
        serde_json::json!({ "code": self.code.number(), "message": self.message, "details": [] }).to_string()
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<RpcError> for tonic::Status {
    fn from(error: RpcError) -> Self {
        tonic::Status::new(error.code.number().into(), error.message)
    }
}
