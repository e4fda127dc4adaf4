// Clients in Go with a secret, a certificate or a federated token, and of App Service: azidentity, and the library of Terraform's provider.
// Prints one line for each check, in the words that run.sh counts.
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/hashicorp/go-azure-sdk/sdk/auth"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
	"software.sslmate.com/src/go-pkcs12"
)

var background = context.Background()

func env(name string) string {
	value := os.Getenv(name)
	if value == "" {
		panic("run.sh sets " + name)
	}
	return value
}

// The operator's certificate and key, which are one after the other in a PEM file.
func pemOfOperator() []byte {
	text, err := os.ReadFile(env("OPERATOR_PEM"))
	if err != nil {
		panic(err)
	}
	return text
}

// What a token is good for: the names of the subscriptions that its bearer sees.
func subscriptions(token string) error {
	url := env("ARM_URL") + "/subscriptions?api-version=2022-12-01"
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || !strings.Contains(string(body), env("SUBSCRIPTION_ID")) {
		return fmt.Errorf("the control plane answered %d: %s", answer.StatusCode, body)
	}
	return nil
}

func azidentityOptions() azcore.ClientOptions {
	return azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: env("STS_URL")}}
}

func azidentityToken(credential azcore.TokenCredential, err error) (string, error) {
	if err != nil {
		return "", err
	}
	scopes := policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}}
	token, err := credential.GetToken(background, scopes)
	return token.Token, err
}

func azidentitySecret() (string, error) {
	options := &azidentity.ClientSecretCredentialOptions{
		ClientOptions:            azidentityOptions(),
		DisableInstanceDiscovery: true,
	}
	return azidentityToken(azidentity.NewClientSecretCredential(
		env("TENANT_ID"), env("APP_ID"), env("APP_SECRET"), options))
}

func azidentityCertificate(chain bool) (string, error) {
	certificates, key, err := azidentity.ParseCertificates(pemOfOperator(), nil)
	if err != nil {
		return "", err
	}
	options := &azidentity.ClientCertificateCredentialOptions{
		ClientOptions:            azidentityOptions(),
		DisableInstanceDiscovery: true,
		SendCertificateChain:     chain,
	}
	return azidentityToken(azidentity.NewClientCertificateCredential(
		env("TENANT_ID"), env("OPERATOR_ID"), certificates, key, options))
}

func azidentityWorkload() (string, error) {
	options := &azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions:            azidentityOptions(),
		ClientID:                 env("WEB_ID"),
		DisableInstanceDiscovery: true,
		TenantID:                 env("TENANT_ID"),
		TokenFilePath:            env("FEDERATED_TOKEN_FILE"),
	}
	return azidentityToken(azidentity.NewWorkloadIdentityCredential(options))
}

// The SDK finds App Service by IDENTITY_ENDPOINT and IDENTITY_HEADER.
func azidentityAppService() (string, error) {
	env("IDENTITY_HEADER")
	return azidentityToken(azidentity.NewManagedIdentityCredential(nil))
}

// As Terraform's provider does with `metadata_host`, which `mintbench exec` sets.
func terraform(change func(*auth.Credentials) error) (string, error) {
	environment, err := environments.FromEndpoint(background, "https://"+env("ARM_METADATA_HOSTNAME"))
	if err != nil {
		return "", err
	}
	if environment.IsAzureStack() {
		return "", fmt.Errorf("the cloud %q passes for Azure Stack", environment.Name)
	}
	credentials := auth.Credentials{Environment: *environment, TenantID: env("TENANT_ID")}
	if err := change(&credentials); err != nil {
		return "", err
	}
	authorizer, err := auth.NewAuthorizerFromCredentials(background, credentials, environment.ResourceManager)
	if err != nil {
		return "", err
	}
	token, err := authorizer.Token(background, &http.Request{})
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func terraformSecret() (string, error) {
	return terraform(func(credentials *auth.Credentials) error {
		credentials.ClientID = env("APP_ID")
		credentials.ClientSecret = env("APP_SECRET")
		credentials.EnableAuthenticatingUsingClientSecret = true
		return nil
	})
}

func terraformCertificate() (string, error) {
	return terraform(func(credentials *auth.Credentials) error {
		var err error
		credentials.ClientID = env("OPERATOR_ID")
		credentials.ClientCertificateData, err = pkcs12OfOperator()
		credentials.EnableAuthenticatingUsingClientCertificate = true
		return err
	})
}

func terraformOIDC() (string, error) {
	return terraform(func(credentials *auth.Credentials) error {
		token, err := os.ReadFile(env("FEDERATED_TOKEN_FILE"))
		credentials.ClientID = env("WEB_ID")
		credentials.OIDCAssertionToken = string(token)
		credentials.EnableAuthenticationUsingOIDC = true
		return err
	})
}

// As with `use_msi`; `mintbench exec` sets the endpoint.
func terraformManagedIdentity() (string, error) {
	return terraform(func(credentials *auth.Credentials) error {
		credentials.CustomManagedIdentityEndpoint = env("ARM_MSI_ENDPOINT")
		credentials.EnableAuthenticatingUsingManagedIdentity = true
		return nil
	})
}

func pkcs12OfOperator() ([]byte, error) {
	var certificate *x509.Certificate
	var key any
	for block, rest := pem.Decode(pemOfOperator()); block != nil; block, rest = pem.Decode(rest) {
		var err error
		if block.Type == "CERTIFICATE" {
			certificate, err = x509.ParseCertificate(block.Bytes)
		} else {
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		}
		if err != nil {
			return nil, err
		}
	}
	return pkcs12.Modern.Encode(key, certificate, nil, "")
}

func main() {
	checks := []struct {
		sentence string
		token    func() (string, error)
	}{
		{"azidentity for Go logs in with a secret", azidentitySecret},
		{"azidentity for Go logs in with a certificate",
			func() (string, error) { return azidentityCertificate(false) }},
		{"azidentity for Go logs in with a certificate that it brings",
			func() (string, error) { return azidentityCertificate(true) }},
		{"azidentity for Go logs in with a federated token", azidentityWorkload},
		{"azidentity for Go gets a token from App Service", azidentityAppService},
		{"go-azure-sdk finds the cloud by its metadata host and logs in with a secret", terraformSecret},
		{"go-azure-sdk finds the cloud by its metadata host and logs in with a certificate", terraformCertificate},
		{"go-azure-sdk finds the cloud by its metadata host and logs in with a federated token", terraformOIDC},
		{"go-azure-sdk finds the cloud by its metadata host and logs in as a virtual machine", terraformManagedIdentity},
	}
	for _, check := range checks {
		token, err := check.token()
		if err == nil {
			err = subscriptions(token)
		}
		if err != nil {
			text, _ := json.Marshal(err.Error())
			fmt.Printf("not ok: %s: %s\n", check.sentence, text)
		} else {
			fmt.Printf("ok: %s\n", check.sentence)
		}
	}
}
