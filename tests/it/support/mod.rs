//! The harness.

pub mod agent;
pub mod component;
pub mod game_api;
pub mod gsdk;
pub mod http;
pub mod inprocess;
pub mod proc;
pub mod proxy;
pub mod puppet;
pub mod rcon;
pub mod scripted;
pub mod service;
pub mod shell;
pub mod source;
pub mod world;
