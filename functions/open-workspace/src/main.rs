//! open-workspace under Lambda.

use api::{edge, settings::Settings};
use open_workspace::OpenWorkspace;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    let settings = Settings::from_env()?;
    let function = OpenWorkspace {
        api: settings.api(),
        token_mac: settings.make_token_mac(),
        binding_mac: settings.make_binding_mac(),
    };
    edge::run(edge::finish(Default::default()), Some(function.invoke())).await
}
