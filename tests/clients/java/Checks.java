import com.azure.core.credential.TokenCredential;
import com.azure.core.credential.TokenRequestContext;
import com.azure.identity.ClientCertificateCredentialBuilder;
import com.azure.identity.ClientSecretCredentialBuilder;
import com.azure.identity.ManagedIdentityCredentialBuilder;
import com.azure.identity.WorkloadIdentityCredentialBuilder;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Clients in Java with a secret, a certificate or a federated token, and of App Service: one line for each check, in the words that run.sh counts. */
final class Checks {
    private static String env(String name) {
        String value = System.getenv(name);
        if (value == null) {
            throw new IllegalStateException("run.sh sets " + name);
        }
        return value;
    }

    /** What a token is good for: the subscriptions that its bearer sees. */
    private static void listSubscriptions(String token) throws Exception {
        HttpRequest request = HttpRequest
            .newBuilder(URI.create(env("ARM_URL") + "/subscriptions?api-version=2022-12-01"))
            .header("Authorization", "Bearer " + token)
            .build();
        HttpResponse<String> answer =
            HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200 || !answer.body().contains(env("SUBSCRIPTION_ID"))) {
            throw new IllegalStateException(
                "the control plane answered " + answer.statusCode() + ": " + answer.body());
        }
    }

    private static void check(String sentence, TokenCredential credential) {
        TokenRequestContext scopes =
            new TokenRequestContext().addScopes("https://management.azure.com/.default");
        try {
            listSubscriptions(credential.getTokenSync(scopes).getToken());
            System.out.println("ok: " + sentence);
        } catch (Exception error) {
            String text = (error + ": " + error.getCause()).replaceAll("\\s+", " ");
            System.out.println("not ok: " + sentence + ": " + text);
        }
    }

    private static ClientCertificateCredentialBuilder certificate() {
        return new ClientCertificateCredentialBuilder()
            .authorityHost(env("STS_URL"))
            .disableInstanceDiscovery()
            .tenantId(env("TENANT_ID"))
            .clientId(env("OPERATOR_ID"))
            .pemCertificate(env("OPERATOR_PEM"));
    }

    public static void main(String[] args) {
        check("azure-identity for Java logs in with a secret", new ClientSecretCredentialBuilder()
            .authorityHost(env("STS_URL"))
            .disableInstanceDiscovery()
            .tenantId(env("TENANT_ID"))
            .clientId(env("APP_ID"))
            .clientSecret(env("APP_SECRET"))
            .build());
        check("azure-identity for Java logs in with a certificate", certificate().build());
        check("azure-identity for Java logs in with a certificate that it brings",
            certificate().sendCertificateChain(true).build());
        check("azure-identity for Java logs in with a federated token", new WorkloadIdentityCredentialBuilder()
            .authorityHost(env("STS_URL"))
            .disableInstanceDiscovery()
            .tenantId(env("TENANT_ID"))
            .clientId(env("WEB_ID"))
            .tokenFilePath(env("FEDERATED_TOKEN_FILE"))
            .build());
        // The SDK finds App Service by IDENTITY_ENDPOINT and IDENTITY_HEADER.
        check("azure-identity for Java gets a token from App Service", new ManagedIdentityCredentialBuilder().build());
        // The SDK's threads would keep the process for a while.
        System.exit(0);
    }
}
