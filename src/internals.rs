//! What this package's own tests, benchmarks and fuzz targets use beside its interface. It is named
//! here so that everything else stays private and the compiler finds what nobody uses. No promise
//! is made of any of it.

pub mod agent {
    pub use crate::agent::{config, journal, settings, validate};
    pub mod console_quit {
        pub use crate::agent::console_quit::ConsoleQuit;
    }
    pub mod driver {
        pub use crate::agent::driver::{Driver, Identity};
    }
    pub mod effect_executor {
        pub use crate::agent::effect_executor::{EffectExecutor, ExecHandle, ExecutorState, WatchConfig};
    }
    pub mod hooks {
        pub use crate::agent::hooks::{Hooks, HooksConfig};
    }
    pub mod log_reader {
        pub use crate::agent::log_reader::LogPlace;
    }
    pub mod inbox {
        pub use crate::agent::inbox::Inbox;
    }
    pub mod provide {
        pub use crate::agent::provide::Provider;
    }
    pub mod timeline_writer {
        pub use crate::agent::timeline_writer::TimelineWriter;
    }
}

pub mod config {
    pub mod read {
        pub use crate::config::read::read_text;
    }
}

pub mod core {
    pub use crate::core::Core;
    pub mod io {
        pub use crate::core::io::{Bulk, Effect, Input, JournalFact, Saved, SavedState};
    }
    pub mod launch {
        pub use crate::core::launch::{Values, WrittenBy, render};
    }
    pub mod settings {
        pub use crate::core::settings::{Launch, Settings};
    }
    #[cfg(any(test, feature = "simulation"))]
    pub mod simulation {
        pub use crate::core::simulation::{Coverage, Failure, play_rounds};
    }
}

pub mod frontends {
    pub use crate::frontends::{
        Batch, BindAddress, BoundSocket, Events, Frontend, GameMessage, GameQueue, Heartbeats, Shared, SocketSpec,
        Timeline, TokenStore,
    };
    pub mod a2s {
        pub mod wire {
            pub use crate::frontends::a2s::wire::{Query, Request};
        }
    }
    pub mod gsdk {
        pub mod heartbeat {
            pub use crate::frontends::gsdk::heartbeat::{Heartbeat, Players, SdkInfo};
        }
    }
    pub mod native {
        pub use crate::frontends::native::{Native, OperatorRequest, OperatorShared, Settings};
    }
}

pub mod gateway {
    pub use crate::gateway::client::{Command, Gateway, GatewayEvent};
}

pub mod host {
    pub mod addresses {
        pub use crate::host::addresses::Hosts;
    }
    pub mod clock {
        pub use crate::host::clock::mono;
    }
    pub mod escape {
        pub use crate::host::escape::escape;
    }
    pub mod paths {
        pub use crate::host::paths::{AgentPlace, Places};
    }
    pub mod process {
        pub use crate::host::process::raise_open_files;
    }
}

pub mod keeper {
    pub use crate::keeper::{
        Keeper, KeeperEvent, KeeperPlace, Mode, Presence, SpawnKeeper, attach, probe, protocol, stop,
    };
    pub mod config {
        pub use crate::keeper::config::KeeperMode;
    }
}

pub mod practice {
    pub use crate::practice::JoinOptions;
    pub mod player {
        pub use crate::practice::player::{VisitEnd, visit};
    }
    pub mod wire {
        pub use crate::practice::wire::FromPlayer;
    }
}

pub mod probes {
    pub use crate::probes::{CommandError, Finding, Log, Observation, Target, query, start};
}

pub mod providers {
    pub use crate::providers::{Incarnations, Offer, ProviderEvent, ProviderSettings, start};
    pub mod sic {
        pub use crate::providers::sic::SicSettings;
    }
}

pub mod service {
    pub use crate::service::{Listeners, ServeError, Service, ServiceSettings, ops, serve};
    pub mod auth {
        pub mod clients {
            pub use crate::service::auth::clients::{Clients, Rotation};
        }
        pub mod login {
            pub use crate::service::auth::login::player_of;
        }
    }
    pub mod http {
        pub mod route {
            pub use crate::service::http::route::{Access, Found, Router, Row};
        }
    }
    pub mod openapi {
        pub use crate::service::openapi::DOCUMENT;
    }
    pub mod settings {
        pub use crate::service::settings::RestrictedPlayer;
    }
    pub mod templates {
        pub use crate::service::templates::{Deserter, MapChoice, RequestTemplate, SessionType};
    }
}

pub mod session_api {
    pub use crate::session_api::{ConnectionSettings, Credentials, Secret};
    pub mod agent {
        pub use crate::session_api::agent::{SessionClient, SessionClientSettings, connect};
    }
}
