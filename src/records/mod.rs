//! What every enrolled table gets.

pub mod attachment;
pub mod catalogue;
pub mod custom;
pub mod enroll;
pub mod guard;
pub mod hierarchy;
pub mod normalize;
pub mod parts;
pub mod refresh;
pub mod row;
pub mod rules;
pub mod scope;
pub mod stamp;
pub mod states;
pub mod steps;
pub mod tags;
pub mod uuid;
