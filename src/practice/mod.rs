//! `gameside practice`: a small real UDP game server, to try Gameside with and to test it. Nothing of the agent is in it:
//! it is a game.
