//! Voice tokens. They are made with a vendor's secret, and none is configured: 403
//! `voice_not_configured`, after the permission, the path and the query were checked as the
//! contract says.

use crate::{
    model::parameters::{self, EpicVoiceQuery, VoiceQuery},
    service::{
        http::{
            reply::{Interrupt, Outcome, forbidden},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        state::Transaction,
    },
};
use http::Method;

const VIVOX: Access = Access::AnyOf(&[
    "session:vivox:join",
    "session:vivox:join_muted",
    "session:vivox:kick:all",
    "session:vivox:kick:self",
    "session:vivox:kick:as-leader",
    "session:vivox:mute:all",
    "session:vivox:mute:self",
    "session:vivox:mute:as-leader",
    "session:vivox:transcribe:any",
    "session:vivox:transcribe:as-member",
]);

pub static TABLE: &[Row] = &[
    row!(GET "/session/v1/voip/vivox:login", "get_vivox_login_token", Access::AnyOf(&["session:vivox:login"]), log_in),
    row!(
        GET "/session/v1/session/{session_id}/player/me/voip/vivox:{vivox_action}",
        "get_vivox_action_token_me", VIVOX, act
    ),
    row!(
        GET "/session/v1/session/{session_id}/player/{player_uuid}/voip/vivox:{vivox_action}",
        "get_vivox_action_token", VIVOX, act
    ),
    row!(
        GET "/session/v1/session/{session_id}/player/me/voip/epic:join",
        "get_epic_voice_join_token_me", Access::AnyOf(&["session:voip:epic:join"]), join_epic
    ),
];

fn not_configured(vendor: &str) -> Interrupt {
    forbidden(
        "voice_not_configured",
        format!("this service has no credentials of {vendor}: it can't make voice tokens"),
    )
}

fn log_in(_: &mut Transaction<'_>, _: &RequestContext) -> Outcome {
    Err(not_configured("Vivox"))
}

fn act(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    request.path::<String, _>(&parameters::VIVOX_ACTION)?;
    tx.session(&request.session_id()?)?;
    request.query::<VoiceQuery>()?;
    Err(not_configured("Vivox"))
}

fn join_epic(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    tx.session(&request.session_id()?)?;
    request.query::<EpicVoiceQuery>()?;
    Err(not_configured("Epic"))
}
