//! What every enrolled table gets.

pub mod enroll;
pub mod guard;
pub mod normalize;
pub mod row;
pub mod rules;
pub mod scope;
pub mod stamp;
pub mod uuid;
