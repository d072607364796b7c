//! The description of the native API, made from the handlers themselves.

use super::{game, meta, operator, state, stream};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Gameside native API", description = "What a game and an operator can ask of the agent beside a dedicated game server."),
    paths(
        game::ready, game::joinable, game::heartbeat, game::health, game::tick_rate, game::player_joined, game::player_left,
        game::players, game::match_start, game::match_end, game::custom_data, game::map, game::version, game::shutdown,
        state::state, state::status, stream::events, stream::timeline,
        operator::allocation, operator::drain, operator::stop, operator::detach, operator::gate,
        meta::livez, meta::readyz, meta::metrics, meta::description,
    ),
    tags((name = "game", description = "For the game, with the token of its run"),
        (name = "operator", description = "For operators, with their token"),
        (name = "meta", description = "For everybody on this machine")),
    components(schemas(crate::model::game::CustomDataOf)),
    modifiers(&Tokens)
)]
struct Description;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, api: &mut openapi::OpenApi) {
        let bearer = |text: &str| {
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build())
        };
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("game", bearer("The game's token, in GAMESIDE_TOKEN; good for one run"));
        components
            .add_security_scheme("operator", bearer("The operator's token, in operator.token of the state directory"));
    }
}

/// The description as a value.
pub fn description() -> openapi::OpenApi {
    Description::openapi()
}

/// The description as JSON.
pub fn text() -> String {
    description().to_json().expect("plain data always serialises")
}
