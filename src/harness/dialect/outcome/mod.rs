//! Outcomes of requests: the status at the end, and the cause of a failure.

mod cause;
mod flaw;
mod status;
mod system;
mod tls;

pub use self::cause::{Cause, Wait};
pub use self::flaw::{Excerpt, Flaw};
pub use self::status::Status;
pub use self::system::SystemError;
pub use self::tls::TlsFault;
