//! Conversations with the core.

mod acquisition;
mod adoption;
mod backfills;
mod bulk;
mod clocks;
mod commits;
mod configured;
mod drains;
mod ends;
mod gateway;
mod headcounts;
mod healths;
mod launches;
mod matches;
mod offline;
mod publishing;
mod restarts;
mod roster;
mod sdks;
mod starts;
mod worlds;
