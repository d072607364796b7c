//! The description of the native API. A test makes it from the handlers themselves and compares it
//! with `openapi.json` beside this file, which the agent carries packed: no code for schemas is in
//! the programs.

use crate::model::packed::{Packed, packed};

/// The description as JSON.
pub(crate) const TEXT: Packed = packed!("native-openapi");

#[cfg(test)]
pub(crate) use made::description;

#[cfg(test)]
mod made {
    use super::super::{game, meta, operator, state, stream};
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
            components.add_security_scheme(
                "operator",
                bearer("The operator's token, in operator.token of the state directory"),
            );
        }
    }

    /// The description, made of the handlers.
    pub(crate) fn description() -> openapi::OpenApi {
        Description::openapi()
    }

    #[test]
    fn openapi_is_what_the_handlers_say() {
        let made = serde_json::to_value(description()).unwrap();
        crate::snapshot::compare("src/frontends/native/openapi.json", &made);
    }
}
