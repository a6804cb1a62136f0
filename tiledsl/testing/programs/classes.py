"""Classes whose methods are macros: variables as attributes, a base class, private names, branches, T.inline."""

import tiledsl.language as T


@T.meta_class
class Counter:
    def __init__(self, start):
        self.n = T.alloc_var("int32", start)
        self.__steps = T.alloc_var("int32", 0)

    def step(self, by):
        self.n += by
        self.__steps[0] = self.__steps[0] + 1

    def steps(self):
        return self.__steps[0]


@T.meta_class
class Bounded(Counter):
    limit = 20

    def __init__(self, start, scale):
        super().__init__(start)
        self.scale = scale

    def step(self, by):
        super().step(by)
        if self.n % 2 == 0:
            self.n = self.scaled(self.n)

    @T.inline
    def scaled(self, x):
        return x * self.scale + 1

    def valid(self):
        return self.n < self.limit

    @property
    def rest(self):
        return self.limit - self.n


class Slots:
    __slots__ = ("v",)


def kernel(A: T.Tensor((2, 8), "int32"), B: T.Tensor((2, 4), "int32")):
    with T.Kernel(2, threads=32) as b:
        counter = Bounded(b, 2)
        while counter.valid():
            before = counter.n
            counter.step(3)
            if counter.steps() <= 8:
                A[b, counter.steps() - 1] = before * 100 + counter.n[0]
        B[b, 0] = counter.n
        B[b, 1] = counter.steps()
        B[b, 2] = counter.rest
        held = Slots()
        held.v = T.alloc_var("int32", 1)
        if b == 1:
            held.v = 7
        B[b, 3] = held.v
