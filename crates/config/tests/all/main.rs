//! What a text becomes, what is said about it when it is wrong, and what the machine has to do with it.

mod any_text;
mod conf;
mod control;
mod golden;
mod meaning;
mod paths;
mod proxy_config;
mod sites;
mod surroundings;
