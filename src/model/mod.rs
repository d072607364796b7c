//! The nouns: wire types and plain data that the agent, the keeper and the session service share.
//!
//! Nothing here does I/O, reads a clock or knows another room of the house.
//!
//! | file | holds |
//! |---|---|
//! | [`ids`] | newtypes for every identifier |
//! | [`time`], [`units`] | instants and wire date-times; durations and sizes as people write them |
//! | [`session`], [`player`] | the Session API's resources |
//! | [`discovery`] | search, matchmaking, presence; creating and settings |
//! | [`events`], [`friends`] | what players are told; the friend graph |
//! | [`audit`], [`deserters`], [`parameters`] | what happened to sessions; deserters; parameters of paths and queries |
//! | [`mod@wire`] | how a body is declared: once, for writing, reading and describing it |
//! | [`errors`] | the Session API's error answers and codes |
//! | [`version`] | semantic versions and who may play with whom |
//! | [`address`] | an address of a network interface |
//! | [`backoff`] | how long to wait before the next attempt |
//! | [`allocation`] | one allocation, wherever it came from |
//! | [`process`] | what the keeper is told to run, and how it ended |
//! | [`keeper`] | orders to the keeper, facts from it |
//! | [`gateway`] | what the keeper and its SDK gateway say to each other |
//! | [`game`] | what a game says to us and what we tell it |
//! | [`gateway_facts`] | what is learned of the process that serves the game's SDK |
//! | [`login`], [`sic`] | logging in; registering as free and learning of an allocation |
//! | [`calls`] | what the agent asks of the session service, and the answers |
//! | [`orders`] | what an operator may ask of an agent, and why it may be refused |
//! | [`policy`] | decisions the user makes in the configuration and the core follows |
//! | [`ordered`] | a map that keeps its order: ports by name |
//! | [`section`] | sections of a configuration, and what reloading does with their keys |
//! | [`spelling`] | what somebody who mistyped a name probably meant |
//! | [`probe`] | how a game without an SDK is watched from outside |
//! | [`status`] | the agent as seen from outside; timeline entries |
//! | [`text`] | text that somebody else wrote |

pub mod address;
pub mod allocation;
pub mod audit;
pub mod backoff;
pub mod calls;
pub mod deserters;
pub mod discovery;
pub mod errors;
pub mod events;
pub mod friends;
pub mod game;
pub mod gateway;
pub mod gateway_facts;
pub mod ids;
pub mod keeper;
pub mod login;
pub mod ordered;
pub mod orders;
pub mod packed;
pub mod parameters;
pub mod player;
pub mod policy;
pub mod probe;
pub mod process;
pub mod section;
pub mod session;
pub mod sic;
pub(crate) mod spelling;
pub mod startup;
pub mod status;
pub mod text;
pub mod time;
pub mod units;
pub mod version;
pub(crate) mod wire;

/// The Session API's `custom_data`: keys to values of 1–4096 characters.
pub type CustomData = std::collections::BTreeMap<String, String>;
