// The Go SDK's part: uses keys of a vault, and prints one line with the verdict, as checks.py does.
// Reads VAULTS and VAULT_TOKEN.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

var background = context.Background()

// A credential that has one token.
type bearer string

func (token bearer) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(token), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func vaultURI() (string, error) {
	var vaults []struct {
		Properties struct {
			VaultURI string `json:"vaultUri"`
		} `json:"properties"`
	}
	if err := json.Unmarshal([]byte(os.Getenv("VAULTS")), &vaults); err != nil {
		return "", err
	}
	if len(vaults) == 0 {
		return "", errors.New("run.sh sets VAULTS")
	}
	return vaults[0].Properties.VaultURI, nil
}

// Go's own library verifies what the vault signs.
func sign(client *azkeys.Client, digest []byte) error {
	parameters := azkeys.CreateKeyParameters{
		Kty:   to.Ptr(azkeys.KeyTypeEC),
		Curve: to.Ptr(azkeys.CurveNameP256),
	}
	made, err := client.CreateKey(background, "go-signer", parameters, nil)
	if err != nil {
		return err
	}
	signing := azkeys.SignParameters{Algorithm: to.Ptr(azkeys.SignatureAlgorithmES256), Value: digest}
	signed, err := client.Sign(background, "go-signer", "", signing, nil)
	if err != nil {
		return err
	}
	number := func(bytes []byte) *big.Int { return new(big.Int).SetBytes(bytes) }
	public := ecdsa.PublicKey{Curve: elliptic.P256(), X: number(made.Key.X), Y: number(made.Key.Y)}
	if len(signed.Result) != 64 ||
		!ecdsa.Verify(&public, digest, number(signed.Result[:32]), number(signed.Result[32:])) {
		return errors.New("the signature is wrong")
	}
	if made.Key.D != nil {
		return errors.New("the private part is shown")
	}
	return nil
}

// The vault decrypts what Go's own library encrypts.
func decrypt(client *azkeys.Client, plaintext []byte) error {
	made, err := client.CreateKey(background, "go-rsa",
		azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeRSA), KeySize: to.Ptr(int32(2048))}, nil)
	if err != nil {
		return err
	}
	exponent := new(big.Int).SetBytes(made.Key.E).Int64()
	public := rsa.PublicKey{N: new(big.Int).SetBytes(made.Key.N), E: int(exponent)}
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &public, plaintext, nil)
	if err != nil {
		return err
	}
	opened, err := client.Decrypt(background, "go-rsa", made.Key.KID.Version(), azkeys.KeyOperationParameters{
		Algorithm: to.Ptr(azkeys.EncryptionAlgorithmRSAOAEP256),
		Value:     sealed,
	}, nil)
	if err != nil {
		return err
	}
	if !bytes.Equal(opened.Result, plaintext) {
		return errors.New("the plaintext is wrong")
	}
	if _, err = client.DeleteKey(background, "go-rsa", nil); err != nil {
		return err
	}
	_, err = client.PurgeDeletedKey(background, "go-rsa", nil)
	return err
}

func check() (string, error) {
	uri, err := vaultURI()
	if err != nil {
		return "", err
	}
	options := &azkeys.ClientOptions{DisableChallengeResourceVerification: true}
	client, err := azkeys.NewClient(uri, bearer(os.Getenv("VAULT_TOKEN")), options)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256([]byte(uri))
	return uri, errors.Join(sign(client, digest[:]), decrypt(client, digest[:]))
}

func main() {
	const sentence = "azkeys for Go signs, decrypts and purges"
	if uri, err := check(); err != nil {
		fmt.Printf("not ok %s: %q\n", sentence, err)
	} else {
		fmt.Printf("ok %s (%s)\n", sentence, uri)
	}
}
