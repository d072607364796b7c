//! Login; what an operator asks: is the service alive, is it ready, what does it count; and the
//! description of it all.

use crate::service::{
    Shared,
    auth::login,
    http::{
        reply::{Outcome, Reply, unavailable},
        request::RequestContext,
        route::{Access, AnswerFuture, Handler, Row},
    },
    openapi,
    state::Transaction,
};
use bytes::Bytes;
use http::Method;
use std::sync::{Arc, LazyLock};

pub static TABLE: &[Row] = &[
    row!(later POST "/users/v1/login", "login", Access::Nothing, log_in),
    row!(GET "/livez", "livez", Access::Nothing, alive),
    row!(later GET "/readyz", "readyz", Access::Nothing, ready),
    row!(later GET "/metrics", "metrics", Access::Nothing, metrics),
    row!(GET "/openapi.json", "openapi", Access::Nothing, document),
];

fn log_in(shared: Arc<Shared>, request: RequestContext) -> AnswerFuture {
    Box::pin(async move { login::log_in(&shared, &request).await.map(Into::into) })
}

/// What the service can do.
fn document(_: &mut Transaction<'_>, _: &RequestContext) -> Outcome {
    static UNPACKED: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(openapi::DOCUMENT.text()));
    Ok(Reply::raw(UNPACKED.clone()))
}

fn alive(_: &mut Transaction<'_>, _: &RequestContext) -> Outcome {
    Ok(Reply::text("ok\n".to_owned()))
}

/// Ready while changes can be made durable.
fn ready(shared: Arc<Shared>, _: RequestContext) -> AnswerFuture {
    Box::pin(async move {
        match shared.commits.progress().failing {
            None => Ok(Reply::text("ok\n".to_owned()).into()),
            Some(why) => Err(unavailable(format!("nothing can be stored: {why}"), 1)),
        }
    })
}

fn metrics(shared: Arc<Shared>, _: RequestContext) -> AnswerFuture {
    Box::pin(async move {
        let progress = shared.commits.progress();
        let text = shared.with_state(|state| shared.metrics.text(state, &progress));
        Ok(Reply::text(text).into())
    })
}
