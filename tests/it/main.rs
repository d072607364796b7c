//! Everything that is tested from outside: the real programs in real processes, and rules about the
//! source itself.
//!
//! | module | holds |
//! |---|---|
//! | [`a2s`] | Steam's server queries, asked by other people's clients |
//! | [`agones`] | the Agones SDK's server |
//! | [`containers`] | both container shapes, as namespaces |
//! | [`contract`] | every answer of the session service, judged by its own document |
//! | [`published`] | that document beside the published contracts: nothing missing, nothing narrower |
//! | [`crash`] | the agent killed after every single effect |
//! | [`docs`] | what the documents say |
//! | [`driver`] | the agent's loop on paused time, between edges that the test plays |
//! | [`examples`] | the example configurations as they are shipped, from start to end |
//! | [`first_hour`] | what a newcomer types, and what is answered |
//! | [`full_disk`] | the journal where no room is left |
//! | [`gsdk`] | games that speak PlayFab's GSDK, flavour by flavour |
//! | [`keeper`] | the keeper and the agent's client for it |
//! | [`issuer`] | access tokens that somebody else signs |
//! | [`layers`] | which room may import which |
//! | [`main_job`] | allocated, run, reported, supervised, through every crash |
//! | [`manifests`] | what must be true of the Kubernetes manifests |
//! | [`prose`] | how wide comments and documents are |
//! | [`replay`] | the calls of an existing Unreal plugin, as data |
//! | [`sic`] | the provider `sic` against scripted answers |
//! | [`service_api`], [`service_operations`], [`service_interface`], [`service_allocation`], [`service_durable`], [`service_events`], [`service_config`], [`service_credentials`], [`service_limits`], [`service_rules`], [`service_semantics`] | the session service from outside |
//! | [`service_friends`] | the friend graph of one service, used by another |
//! | [`session_command`] | what `gameside session` prints |
//! | [`sessions_interface`] | the life of a session, by the Rust client |
//! | [`service_refusals`] | who may not do what: every documented refusal, by a table |
//! | [`service_hostile`] | bodies, headers, ids and clients that mean harm |
//! | [`schemathesis`] | the service's own document, fuzzed |
//! | [`systemd`] | the units |
//! | [`unwritable`] | where no line can be written |
//! | [`tls`] | TLS on the session service |
//! | [`openarena`] | a real game server, by its example configuration |
//! | [`openarena_probe`] | the same server, watched by queries and by its log |
//! | [`operator_socket`] | how commands reach their agent |
//! | [`probes`] | games that speak nothing, each kind of probe asking them |
//! | [`quit`] | games that end in good order only when they are asked to |
//! | [`practice`] | the practice game as a program |
//! | [`outage`] | the session service away in every way, and back |
//! | [`stories`] | the whole thing, end to end |
//! | [`session_client`] | the client of the session service against scripted answers |
//! | [`support`] | the harness: a world of its own for each test |

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a failing test says what it saw")]
#![allow(unreachable_pub, reason = "a program exports nothing: what is shared between its modules is `pub`")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![allow(clippy::disallowed_methods, reason = "a test may wait by the clock, though never sleep")]

mod a2s;
mod agones;
mod containers;
mod contract;
mod crash;
mod docs;
mod driver;
mod examples;
mod first_hour;
mod full_disk;
mod gateway;
mod gsdk;
mod issuer;
mod keeper;
mod layers;
mod main_job;
mod manifests;
mod openarena;
mod openarena_probe;
mod operator_socket;
mod outage;
mod players;
mod practice;
mod probes;
mod prose;
mod published;
mod quit;
mod replay;
mod schemathesis;
mod service_allocation;
mod service_api;
mod service_bench;
mod service_config;
mod service_credentials;
mod service_durable;
mod service_events;
mod service_friends;
mod service_hostile;
mod service_interface;
mod service_limits;
mod service_operations;
mod service_refusals;
mod service_rules;
mod service_semantics;
mod session_client;
mod session_command;
mod sessions_interface;
mod sic;
mod stories;
mod support;
mod systemd;
mod tls;
mod unwritable;
mod worlds;
