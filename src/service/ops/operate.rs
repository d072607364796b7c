//! Login, and what an operator asks: is the service alive, is it ready, what does it count.

use crate::service::{
    Shared,
    auth::login,
    http::{
        asked::Asked,
        reply::{Outcome, Reply, unavailable},
        route::{Answering, Needs, Row, Run},
    },
    world::World,
};
use http::Method;
use std::sync::Arc;

pub static TABLE: &[Row] = &[
    row!(later POST "/users/v1/login", "login", Needs::Nothing, log_in),
    row!(GET "/livez", "livez", Needs::Nothing, alive),
    row!(later GET "/readyz", "readyz", Needs::Nothing, ready),
    row!(later GET "/metrics", "metrics", Needs::Nothing, metrics),
];

fn log_in(shared: Arc<Shared>, asked: Asked) -> Answering {
    Box::pin(async move { login::log_in(&shared, &asked).await.map(Into::into) })
}

fn alive(_: &mut World, _: &Asked) -> Outcome {
    Ok(Reply::text("ok\n".to_owned()))
}

/// Ready while changes can be made durable.
fn ready(shared: Arc<Shared>, _: Asked) -> Answering {
    Box::pin(async move {
        match shared.durable.progress().failing {
            None => Ok(Reply::text("ok\n".to_owned()).into()),
            Some(why) => Err(unavailable(format!("nothing can be stored: {why}"), 1)),
        }
    })
}

fn metrics(shared: Arc<Shared>, _: Asked) -> Answering {
    Box::pin(async move {
        let progress = shared.durable.progress();
        let (text, _) = shared.visit(|world| shared.metrics.text(world, &progress));
        Ok(Reply::text(text).into())
    })
}
