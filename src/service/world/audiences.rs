//! Azure's own services as every tenant knows them: the resources that clients request tokens for.
//!
//! The values come from client libraries and from the service principals of real tenants
//! (`docs/protocol.md`).

/// One service.
pub(super) struct Service {
    /// The application id, in lower case. Empty where none is known.
    pub(super) app_id: &'static str,
    /// The identifier URIs, without a slash at the end.
    pub(super) uris: &'static [&'static str],
    /// Suffixes of host names that name a resource of their own. The account comes before the suffix.
    pub(super) hosts: &'static [&'static str],
}

const fn service(app_id: &'static str, uris: &'static [&'static str]) -> Service {
    Service { app_id, uris, hosts: &[] }
}

const fn hosted(
    app_id: &'static str,
    uris: &'static [&'static str],
    hosts: &'static [&'static str],
) -> Service {
    Service { app_id, uris, hosts }
}

/// Every service. The order only determines the numbers of resources within one process.
pub(super) const SERVICES: &[Service] = &[
    // Resource Manager, the classic management API, Microsoft Graph, and the Graph before it.
    service(
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
        &["https://management.azure.com", "https://management.core.windows.net"],
    ),
    service("00000003-0000-0000-c000-000000000000", &["https://graph.microsoft.com"]),
    service("00000002-0000-0000-c000-000000000000", &["https://graph.windows.net"]),
    // Key Vault, and its managed HSM.
    service("cfa8b339-82a2-471a-a3c9-0fc0be7a4093", &["https://vault.azure.net"]),
    service("589d5083-6f11-4d30-a62a-a4b316a14abf", &["https://managedhsm.azure.net"]),
    // Storage: one name for all accounts, or the host of one.
    hosted(
        "e406a681-f3d4-42a8-90b6-c2b029497af1",
        &["https://storage.azure.com"],
        &[
            ".blob.core.windows.net",
            ".dfs.core.windows.net",
            ".file.core.windows.net",
            ".queue.core.windows.net",
            ".table.core.windows.net",
        ],
    ),
    service("e9f49c6b-5ce5-44c8-925d-015017e9f7ad", &["https://datalake.azure.net"]),
    // Databases: SQL, MySQL and PostgreSQL, Cosmos DB, Redis, Data Explorer (Kusto).
    service("022907d3-0f1b-48f7-badc-1ba6abab6d66", &["https://database.windows.net"]),
    service("123cd850-d9df-40bd-94d5-c9f07b7fa203", &["https://ossrdbms-aad.database.windows.net"]),
    hosted(
        "a232010e-820c-4083-83bb-3ace5fc29d0b",
        &["https://cosmos.azure.com"],
        &[".documents.azure.com"],
    ),
    service("acca5fbb-b7e4-4009-81f1-37e38fd66d78", &["https://redis.azure.com"]),
    hosted(
        "2746ea77-4702-4b45-80ca-3c97e680e8b7",
        &["https://kusto.kusto.windows.net", "https://api.kusto.windows.net"],
        &[".kusto.windows.net"],
    ),
    // Messages: Service Bus, Event Hubs, Event Grid, SignalR and Web PubSub, Communication Services.
    hosted(
        "80a10ef9-8168-493d-abf9-3297c4ef6e3c",
        &["https://servicebus.azure.net"],
        &[".servicebus.windows.net"],
    ),
    service("80369ed6-5f11-4dd9-bef3-692475845e77", &["https://eventhubs.azure.net"]),
    service("823c0a78-5de0-4445-a7f5-c2f42d7dc89b", &["https://eventgrid.azure.net"]),
    service(
        "cdad765c-f191-43ba-b9f5-7aef392f811d",
        &["https://signalr.azure.com", "https://webpubsub.azure.com"],
    ),
    service(
        "1fd5118e-2576-4263-8130-9503064c837a",
        &["https://communication.azure.com", "https://auth.msft.communication.azure.com"],
    ),
    // AI: Cognitive Services (OpenAI among them), Foundry, Machine Learning, Search.
    service("7d312290-28c8-473c-a0ed-8e53749b6d6d", &["https://cognitiveservices.azure.com"]),
    service(
        "18a66f5f-dbdf-4c17-9dd7-1634712a9cbe",
        &["https://ai.azure.com", "https://ml.azure.com"],
    ),
    service("880da380-985e-4198-81b9-e05b1cc53158", &["https://search.azure.com"]),
    // Monitor: ingestion, logs, metrics, Prometheus, Application Insights.
    service("e933bd07-d2ee-4f1d-933c-3752b819567b", &["https://monitor.azure.com"]),
    service("", &["https://metrics.monitor.azure.com", "https://prometheus.monitor.azure.com"]),
    service("ca7f3f0b-7d91-482c-8e09-c5d840d0eac5", &["https://api.loganalytics.io"]),
    service("f5c26e74-f226-4ae8-85f0-b4af0080ac9e", &["https://api.applicationinsights.io"]),
    // Compute: Kubernetes (AKS), container registries, Batch, Databricks, Synapse, Fabric and Power BI.
    service("6dae42f8-4368-4678-94ff-3960e28e3630", &[]),
    service("6a0ec4d3-30cb-4a83-91c0-ae56bc0e3d26", &["https://containerregistry.azure.net"]),
    service("ddbf3205-c6bd-46ae-8127-60eb93363864", &["https://batch.core.windows.net"]),
    service("2ff814a6-3304-4ab8-85cb-cd0e6f879c1d", &[]),
    service("", &["https://dev.azuresynapse.net"]),
    service(
        "00000009-0000-0000-c000-000000000000",
        &["https://analysis.windows.net/powerbi/api", "https://api.fabric.microsoft.com"],
    ),
    // Configuration, governance, developers.
    hosted("35ffadb3-7fc1-497e-b61b-381d28e744cc", &["https://azconfig.io"], &[".azconfig.io"]),
    service(
        "73c2949e-da2d-457a-9607-fcc665198967",
        &["https://purview.azure.net", "https://projectbabylon.azure.net"],
    ),
    service("e526e72f-ffae-44a0-8dac-cf14b8bd40e2", &["https://devcenter.azure.com"]),
    service("499b84ac-1321-427f-aa17-267ca6975798", &["https://app.vssps.visualstudio.com"]),
    service("", &["https://cnt-prod.loadtesting.azure.com"]),
    // Things and places: IoT Hub, device provisioning, Digital Twins, Maps.
    service("89d10474-74af-4874-99a7-c23c2f643083", &["https://iothubs.azure.net"]),
    service("0cd79364-7a90-4354-9984-6e36c841418d", &["https://azure-devices-provisioning.net"]),
    service("0b07f429-9f4b-4714-9392-cc5e8e80c8b0", &["https://digitaltwins.azure.net"]),
    service("ba1ea022-5807-41d5-bbeb-292c7e1cf5f6", &["https://atlas.microsoft.com"]),
    // Confidential computing, health data.
    service("c61423b7-1d1f-430d-b444-0eee53298103", &["https://attest.azure.net"]),
    service("4353526e-1c33-4fcf-9e82-9683edf52848", &["https://confidential-ledger.azure.com"]),
    hosted(
        "4f6778d8-5aef-43dc-a1ff-b073724b9495",
        &[
            "https://azurehealthcareapis.com",
            "https://fhir.azurehealthcareapis.com",
            "https://dicom.healthcareapis.azure.com",
        ],
        &[".fhir.azurehealthcareapis.com"],
    ),
    // The audience of tokens that another directory or cloud exchanges for its own.
    service("fb60f99c-7a34-4190-8149-302f77469936", &["api://AzureADTokenExchange"]),
];
