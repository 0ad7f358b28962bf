package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/testcontainers/testcontainers-go"
)

// What containers can lack.
var (
	// ErrNoEngine says that no container engine answers.
	ErrNoEngine = errors.New("no container engine")
	// ErrNoImage says that there is an engine, but not the image.
	ErrNoImage = errors.New("the image is not here and cannot be pulled")
)

// HaveImage sees to it that the engine has an image, which it pulls where it is
// not. The errors are ErrNoEngine and ErrNoImage, with the reason.
func HaveImage(ctx context.Context, image string) error {
	p, err := testcontainers.NewDockerProvider()
	if err == nil {
		err = p.Health(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	if _, err := p.Client().ImageInspect(ctx, image); err == nil {
		return nil
	}
	if err := p.PullImage(ctx, image); err != nil {
		return fmt.Errorf("%s: %w: %w", image, ErrNoImage, err)
	}
	return nil
}
