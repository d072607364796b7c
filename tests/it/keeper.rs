//! The keeper, from outside: the real program, its wire, and processes that misbehave.
//!
//! | module | holds |
//! |---|---|
//! | [`harness`] | a keeper in a directory of its own, and the wire by hand |
//! | [`adoption`] | agents and keepers that come and go: adoption, fencing, locks, left-over sockets, exits that nobody saw |
//! | [`containment`] | everything of a run ends, with and without cgroups; SIGKILL of the keeper |
//! | [`orphaned`] | the fallback policy; a game without an agent for too long; unkillable games |
//! | [`spawning`] | what the game gets and doesn't get; starts that fail; who may start what |
//! | [`guarded`] | a keeper of root's with an agent of another user; lines that never say hello |
//! | [`gateway`] | the SDK gateway as the keeper's helper; the end of a run with one |
//! | [`exit_codes`] | what an agent exits with because of its keeper or its game |
//! | [`output`] | pipes at full speed, slow agents, full disks, the console, probes |
//! | [`client`] | the agent's own client |
//! | [`init`] | PID 1 of a container |

mod adoption;
mod client;
mod containment;
mod exit_codes;
mod gateway;
mod guarded;
mod harness;
mod init;
mod orphaned;
mod output;
mod spawning;
