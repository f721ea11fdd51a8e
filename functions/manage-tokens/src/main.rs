//! manage-tokens under Lambda.

use api::{edge, settings::Settings};
use manage_tokens::{ManageTokens, routes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    let function = ManageTokens {
        api: Settings::from_env()?.api(),
    };
    edge::run(edge::finish(routes(function).into()), None).await
}
