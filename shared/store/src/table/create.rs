//! The tables themselves, for the run on one machine and for tests. On AWS the
//! template makes them.

use super::{Store, failure::unavailable};
use crate::StoreError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TimeToLiveSpecification, TimeToLiveStatus,
};

const CREATE: &str = "create tables";

impl Store {
    /// Makes both tables where they are not there yet.
    ///
    /// # Errors
    /// DynamoDB could not be asked.
    pub async fn create_tables(&self) -> Result<(), StoreError> {
        for table in [&self.table, &self.audit_table] {
            self.create_table(table).await?;
            self.expire_by_ttl(table).await?;
        }
        Ok(())
    }

    async fn create_table(&self, table: &str) -> Result<(), StoreError> {
        let mut call = self
            .client
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest);
        for (name, key_type) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let key = KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(key_type)
                .build();
            let attribute = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build();
            call = call
                .key_schema(key.expect("a key has a name and a type"))
                .attribute_definitions(attribute.expect("an attribute has a name and a type"));
        }
        match call.send().await {
            Err(error)
                if !error
                    .as_service_error()
                    .is_some_and(|e| e.is_resource_in_use_exception()) =>
            {
                Err(unavailable(CREATE, &error))
            }
            _ => Ok(()),
        }
    }

    async fn expire_by_ttl(&self, table: &str) -> Result<(), StoreError> {
        let described = self
            .client
            .describe_time_to_live()
            .table_name(table)
            .send()
            .await;
        let described = described.map_err(|error| unavailable(CREATE, &error))?;
        let status = described
            .time_to_live_description
            .and_then(|ttl| ttl.time_to_live_status);
        if matches!(
            status,
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
        ) {
            return Ok(());
        }
        let ttl = TimeToLiveSpecification::builder()
            .attribute_name("ttl")
            .enabled(true)
            .build();
        let call = self.client.update_time_to_live().table_name(table);
        let call = call.time_to_live_specification(ttl.expect("it has a name and a switch"));
        call.send()
            .await
            .map_err(|error| unavailable(CREATE, &error))?;
        Ok(())
    }
}
