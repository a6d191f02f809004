#!/bin/sh
# find_products.sh: prints the folder of libcublasLt.so.13 where programs would not find it: not the
# toolkit's usual place, but, say, PyTorch's packages.
for folder in "${CUDA_HOME:-/usr/local/cuda}/lib64" /usr/lib/x86_64-linux-gnu \
    /usr/local/cuda*/lib64 /usr/local/cuda*/targets/x86_64-linux/lib; do
    [ -e "$folder/libcublasLt.so.13" ] && echo "$folder" && exit
done
find /usr /opt /root /home -name libcublasLt.so.13 2>/dev/null | sed -n '1s/\/[^/]*$//p'
